. "${CASES:-../..}/lib.sh"
python3 gen.py 3s > short.yaml; python3 gen.py 0s > none.yaml
fleet; en short.yaml
c ug check http://127.0.0.1:8080/uuid --stream -c 9 --duration 6s
kill $BAL; wait $BAL 2>/dev/null; en none.yaml
c ug check http://127.0.0.1:8080/uuid --stream -c 9 --duration 6s --expect uncut
