. "${CASES:-../..}/lib.sh"
fleet; py late.py
c ug check http://127.0.0.1:8080/uuid -n 100 --no-experiments
