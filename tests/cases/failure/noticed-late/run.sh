. "${CASES:-../..}/lib.sh"
fleet; ha; sleep 1
c ug check http://127.0.0.1:8080/ --duration 40s --rate 50 --outage kill:9001@1s,kill:9002@1s,kill:9003@1s,start:9001@10s,start:9002@10s,start:9003@10s
