"""The demo's material: a small library to grow, its tickets, and what recorded agents did with them."""
