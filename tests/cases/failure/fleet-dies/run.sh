. "${CASES:-../..}/lib.sh"
fleet; ng
(sleep 7; kill -9 "$FLEET") &
c ug check http://127.0.0.1:8080/ --duration 12s --rate 200
