"""The documents that Helm makes of a chart with the values, as JSON: its own library renders them."""
import json, sys

import helm_python
import yaml

with helm_python.Chart.load(sys.argv[1]) as chart:
    texts = chart.render(json.loads(sys.argv[2]), name="uuid", namespace="default")
print(json.dumps([document for text in texts.values() for document in yaml.safe_load_all(text) if document]))
