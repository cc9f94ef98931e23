"""A configuration of Envoy: the timeout of its route (or none), and whether it lets connections upgrade."""
import sys
timeout = sys.argv[1]
upgrade = "upgrade_configs: [{upgrade_type: websocket}], " if "upgrade" in sys.argv else ""
ends = ", ".join("{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: %d}}}}" % port for port in (9001, 9002, 9003))
print("""static_resources:
  listeners:
  - address: {socket_address: {address: 127.0.0.1, port_value: 8080}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: s
          %s
          route_config:
            virtual_hosts:
            - {name: v, domains: ["*"], routes: [{match: {prefix: /uuid/}, route: {cluster: c, prefix_rewrite: /, %s}}]}
          http_filters:
          - {name: r, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}
  clusters:
  - {name: c, type: STATIC, lb_policy: ROUND_ROBIN, load_assignment: {cluster_name: c, endpoints: [{lb_endpoints: [%s]}]}}
""" % ("upgrade_configs: [{upgrade_type: websocket}]" if upgrade else "", "timeout: " + timeout if timeout != "none" else "timeout: 15s", ends))
