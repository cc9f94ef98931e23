. "${CASES:-../..}/lib.sh"
fleet; ng plain.conf
c ug check ws://127.0.0.1:8080/uuid --duration 2s
kill $BAL; wait $BAL 2>/dev/null; ng upgrade.conf
c ug check ws://127.0.0.1:8080/uuid --duration 2s --expect uncut
