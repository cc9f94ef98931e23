. "${CASES:-../..}/lib.sh"
envoy_of_streams() { python3 "${CASES:-../..}/streams/envoy.py" "$@"; }
envoy_of_streams 3s > short.yaml; envoy_of_streams 0s > none.yaml
fleet; en short.yaml
c ug check http://127.0.0.1:8080/uuid --stream -c 9 --duration 6s
kill $BAL; wait $BAL 2>/dev/null; en none.yaml
c ug check http://127.0.0.1:8080/uuid --stream -c 9 --duration 6s --expect uncut
