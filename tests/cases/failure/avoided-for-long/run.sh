. "${CASES:-../..}/lib.sh"
fleet; ng
c ug check http://127.0.0.1:8080/ --expect even --duration 15s --rate 100 --outage kill:9001@1s,start:9001@2s
sleep 1
c ug check http://127.0.0.1:8081/ --expect backup:9003 --duration 15s --rate 100 --outage kill:9001@1s,kill:9002@1s,start:9001@2s,start:9002@2s
c ug check http://127.0.0.1:8081/ --from nginx.conf --upstream spare --expect backup:9003 -n 300
