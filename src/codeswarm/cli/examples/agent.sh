#!/bin/sh
# An agent for Codeswarm. Any program can be one; this one is no model, and only writes down what it was asked.
# Put your own program in its place. It works in the current folder, a checkout of its own, behind walls, and finds
#   standard input       what is asked of it, in words
#   $CODESWARM_ROLE      planner, test_writer, implementer or reviewer
#   $CODESWARM_TICKET    the ticket that it works on
#   $CODESWARM_BUNDLE    a file: all that is known about the task, as JSON
#   $CODESWARM_RESULT    a file to write: the answer as JSON, where one is due
# Exit code 0: done. 75: try me later. Anything else: failed.
set -eu
case $CODESWARM_ROLE in
planner)
  if [ "$CODESWARM_PHASE" = answer ]; then
    echo '{"answer": "What was asked is written down."}' > "$CODESWARM_RESULT"
  else
    cat > "$CODESWARM_RESULT" <<'PLAN'
{"tickets": [{"id": "hello", "title": "Write it down", "description": "In a file of its own.", "pipeline": "single"}]}
PLAN
  fi ;;
reviewer)
  echo '{"verdict": "approve"}' > "$CODESWARM_RESULT" ;;
*)
  cat > "asked-$CODESWARM_TICKET.txt" ;;
esac
echo "$CODESWARM_ROLE: done with $CODESWARM_TICKET"
