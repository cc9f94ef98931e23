. "${CASES:-../..}/lib.sh"
fleet
sed 's/ server 127.0.0.1:9003;//' nginx.conf >"$W/new.conf"
ng
c ug check http://127.0.0.1:8080/ --from "$W/new.conf" -n 900
c ug check http://127.0.0.1:8080/ --from nginx.conf -n 900
