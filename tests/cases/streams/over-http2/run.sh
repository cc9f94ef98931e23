. "${CASES:-../..}/lib.sh"
fleet; ha
c ug check h2c://127.0.0.1:8080 --stream -c 6 --duration 2s --expect uncut
c ug check 'h2c://127.0.0.1:8080/events?count=2&every=3s' --stream -c 6
c ug check 'h2c://127.0.0.1:8080/download?count=2&every=3s' --stream -c 6
