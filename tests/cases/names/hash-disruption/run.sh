. "${CASES:-../..}/lib.sh"
fleet; ha; sleep 1
for port in 8080 8081; do
    c ug check http://127.0.0.1:$port/uuid --rate 300 --duration 7s --outage kill:9002@2s,start:9002@5s --format json
    sleep 2
done
