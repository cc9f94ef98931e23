. "${CASES:-../..}/lib.sh"
export UUID_GENERATOR_TOKEN=0123456789abcdef0123456789abcdef
cp /etc/hosts "$W/before"; cp /etc/hosts "$W/hosts"
names() { { cat "$W/before"; for a in "$@"; do echo "127.0.0.$a pool.test"; done; } > "$W/hosts"; }
names 1 2 3; mount --bind "$W/hosts" /etc/hosts || broken "no mount of its own"
for a in 1 2 3; do mkdir "$W/$a"; XDG_RUNTIME_DIR=$W/$a go ug --backends "app$a=127.0.0.$a:9001" --control "127.0.0.$a:9000"; done
ng; for a in 1 2 3; do for i in $(seq 100); do curl -s -o "$W/null" "http://127.0.0.$a:9001/" && break; sleep .1; done; done
# From the check's first request on: it has asked for the name by then, however slow the machine is.
( until [ -s "$W/access.log" ]; do sleep .05; done; sleep .3; names 1; sleep .8; names; sleep .8; names 3 2 1; sleep .8; names 2 ) &
c ug check http://localhost:8080/ --fleet http://pool.test:9000 --duration 4s --rate 500 --expect even --format json
