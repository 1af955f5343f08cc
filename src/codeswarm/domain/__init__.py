"""What a swarm is: pure functions over immutable facts. No I/O, no clock, no randomness in this room.

`brain.handle(session, command, now_ms)` is the one door for change; everything else here explains it:

    states      the machine on one page: which state may follow which
    events      what can have happened            commands   what can be asked
    session     the state that events add up to   evolve     how they add up
    decide      command → events                  settle     state → the consequences for the whole session
    leasing · outcome · landing · saving · policy · budget · supervision · scheduling · retry · dag
    invariants  what must hold after any history
"""
