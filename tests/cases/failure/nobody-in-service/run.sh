. "${CASES:-../..}/lib.sh"
fleet; ha
out=unready:9001@1s,unready:9002@1s,unready:9003@2s; back=ready:9001@3s,ready:9002@3s,ready:9003@3s
c ug check http://127.0.0.1:8080/ --rate 300 --duration 6s --outage $out,$back
sleep 1
c ug check http://127.0.0.1:8080/ --rate 300 --duration 6s --outage $out,$back --expect lossless
