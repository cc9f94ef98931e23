. "${CASES:-../..}/lib.sh"
c ug check --with nginx --fault close:30%:9002 --method POST --body-bytes 10 -n 300 --retries 2 --retry-non-idempotent
