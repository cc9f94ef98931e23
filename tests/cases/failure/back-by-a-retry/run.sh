. "${CASES:-../..}/lib.sh"
fleet; ha
c ug check http://127.0.0.1:8080/ --rate 100 --duration 7s --no-experiments --expect back:2s --outage kill:9002@1s,start:9002@3s
