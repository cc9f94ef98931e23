. "${CASES:-../..}/lib.sh"
fleet --ports 9001; ha
c ug check http://127.0.0.1:8080/ -n 100
kill $BAL $FLEET; wait $BAL $FLEET 2>/dev/null
sed -i 's/ssl verify none/proto h2/' haproxy.cfg; fleet --ports 9001 --protocols http/1.1; ha
c ug check http://127.0.0.1:8080/ -n 100
