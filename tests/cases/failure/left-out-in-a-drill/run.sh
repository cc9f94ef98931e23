. "${CASES:-../..}/lib.sh"
fleet
ng
c ug check http://127.0.0.1:8080/ --rate 300 --duration 3s --outage kill:9001@1s,start@2s
sleep 11
c ug check http://127.0.0.1:8080/ --rate 300 --duration 3s --outage kill:9001@1s,start@2s --from nginx.conf
