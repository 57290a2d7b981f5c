"""compose_check.py FILE: what compose.yml must not lose."""
import os
import sys

import yaml

path = sys.argv[1]
with open(path, encoding="utf-8") as stream:
    compose = yaml.safe_load(stream)

faults = []
services = compose["services"]
server = services["fast_ingest"]

for name, service in services.items():
    for port in service.get("ports", []):
        if not port.startswith("127.0.0.1:"):
            faults.append(f"{name}: port {port} is open to other machines")
    if "/" in service["image"] and "." in service["image"].split("/")[0]:
        faults.append(f"{name}: image {service['image']} names a registry")
    for volume in service.get("volumes", []):
        source = volume.split(":")[0]
        if source.startswith("."):
            if not os.path.exists(os.path.join(os.path.dirname(path), source)):
                faults.append(f"{name}: there is no {source}")
        elif source not in compose["volumes"]:
            faults.append(f"{name}: volume {source} is not declared")
    if name != "fast_ingest" and service.get("profiles") not in (["monitoring"], ["clickhouse"]):
        faults.append(f"{name}: runs without being asked for")

if "data:/var/lib/postgresql" not in server["volumes"]:
    faults.append("the data is in no volume")
if server.get("profiles"):
    faults.append("fast_ingest needs a profile")
if "wal_level=${FI_WAL_LEVEL:-replica}" not in server["command"]:
    faults.append("streams cannot have their wal_level")
if "healthcheck" not in services["clickhouse"]:
    faults.append("clickhouse has no health check")
if server.get("stop_grace_period") != "1m":
    faults.append("there is no time to stop")

print("\n".join(faults))
sys.exit(1 if faults else 0)
