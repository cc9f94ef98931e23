. "${CASES:-../..}/lib.sh"
fleet --tls --ca-out ca.pem --ports 9001-9008
# balance PORT… ; those servers have `$lax` and the others verify authority and name
balance() {
    { printf 'defaults\n mode http\n timeout connect 2s\n timeout client 60s\n timeout server 60s\nlisten g\n bind 127.0.0.1:8080\n'
      for port in $(seq 9001 9008); do
          case " $* " in *" $port "*) tls=$lax;; *) tls='verify required ca-file ca.pem verifyhost localhost';; esac
          echo " server s$port 127.0.0.1:$port ssl $tls"
      done; } >haproxy.cfg
    ha; c ug check http://127.0.0.1:8080/uuid -n 800 --no-experiments --expect tls:verified
    kill $BAL; wait $BAL 2>/dev/null
}
lax='verify none' balance 9001
lax='verify none' balance 9008
lax='verify required ca-file ca.pem' balance 9005
balance
