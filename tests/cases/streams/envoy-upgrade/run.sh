. "${CASES:-../..}/lib.sh"
envoy_of_streams() { python3 "${CASES:-../..}/streams/envoy.py" "$@"; }
envoy_of_streams none > plain.yaml; envoy_of_streams 0s upgrade > upgrade.yaml
fleet; en plain.yaml
c ug check ws://127.0.0.1:8080/uuid -c 9 --duration 2s
kill $BAL; wait $BAL 2>/dev/null; en upgrade.yaml
c ug check ws://127.0.0.1:8080/uuid -c 9 --duration 2s --expect uncut
