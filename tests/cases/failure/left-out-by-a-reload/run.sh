. "${CASES:-../..}/lib.sh"
fleet
cp nginx.conf "$W/nginx.conf"; sed 's/ server 127.0.0.1:9003;//' nginx.conf >"$W/new.conf"
ng "$W/nginx.conf"
c ug check http://127.0.0.1:8080/ --rate 300 --duration 4s --no-experiments --during "kill -HUP $BAL"
c ug check http://127.0.0.1:8080/ --rate 300 --duration 5s --during "cp $W/new.conf $W/nginx.conf; kill -HUP $BAL"
cp nginx.conf "$W/nginx.conf"; kill -HUP "$BAL"; sleep 1
c ug check http://127.0.0.1:8080/ --rate 300 --duration 5s --during "cp $W/new.conf $W/nginx.conf; kill -HUP $BAL" --from "$W/new.conf"
