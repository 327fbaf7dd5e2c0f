#!/usr/bin/env bash
# What action.yml runs: it waits for the server, plays the suite, and tells GitHub the result.
# Inputs are environment variables; outputs go to the file $GITHUB_OUTPUT.
set -uo pipefail

output=${GITHUB_OUTPUT:-/dev/null}
fail() { # a message for people, then the end
  echo "::error title=Phoenix conformance::$1"
  echo "result=error" >>"$output"
  exit 2
}

[ -n "${URL:-}" ] || fail "the input url is missing; write the address of the server"
case ${WAIT_S:-30} in
  *[!0-9]* | "") fail "the input wait-s is not a number of seconds: $WAIT_S" ;;
esac
reports=${REPORTS:-phoenix-conformance}
mkdir -p "$reports" || fail "cannot make the folder $reports; choose another one with the input reports"

arguments=("$URL" --profile "${PROFILE:-1.8.12}" --transport "${TRANSPORT:-both}"
  --json "$reports/report.json" --junit "$reports/junit.xml" --badge "$reports/badge.svg")
read -ra levels <<<"${LEVELS:-}"
for level in ${levels[@]+"${levels[@]}"}; do arguments+=(--level "$level"); done
[ -z "${EXPECTED_FAILURES:-}" ] || arguments+=(--expected-failures "$EXPECTED_FAILURES")
[ -z "${HTML:-}" ] || arguments+=(--html "$reports/$HTML")

# A server that was started one step before may not listen yet. Any answer will do.
until_s=$((SECONDS + ${WAIT_S:-30}))
until curl --silent --output /dev/null --max-time 5 "${URL/#ws/http}" || [ "$SECONDS" -ge "$until_s" ]; do
  sleep 1
done

phoenix-compat conformance run "${arguments[@]}"
code=$?

case $code in
  0) result=passed ;;
  1) result=failed ;;
  3) result=not-judged ;;
  *) fail "the suite could not be played, see the lines above (exit code $code)" ;;
esac
{
  echo "result=$result"
  echo "json=$reports/report.json"
  python3 - "$reports/report.json" <<'PYTHON'
import json
import sys

with open(sys.argv[1], encoding="utf-8") as file:
    counts = json.load(file)["counts"]
print(f"passed={counts.get('passed', 0)}")
print(f"total={sum(counts.values())}")
PYTHON
} >>"$output"
if [ $code -eq 3 ]; then
  kind=warning
  [ "${FAIL_IF_NOT_JUDGED:-false}" = true ] && kind=error
  echo "::$kind title=Phoenix conformance::nothing failed, but some cases could not be judged; the report says why"
  [ $kind = error ] || code=0
fi
exit $code
