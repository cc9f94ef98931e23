. "${CASES:-../..}/lib.sh"
need openssl
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout k.pem -out c.pem -days 2 -subj /CN=shop >/dev/null 2>&1 || broken "no certificate"
fleet --tls; ng
c ug check 'ws://127.0.0.1:8080/ws?every=4s' -c 6 --duration 3s
c ug check http://127.0.0.1:8080/gzip/ --stream -c 6 --duration 1s --header 'Accept-Encoding: gzip' --expect unbuffered:100ms
c ug check wss://127.0.0.1:8443/ -c 6 --duration 1s
c ug check http://127.0.0.1:8080/ --stream -c 6 --duration 2s --outage start:9002@1s
