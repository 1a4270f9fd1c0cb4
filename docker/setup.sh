#!/usr/bin/env bash
# Founds the trial cluster's folders inside the `setup` container; does nothing where they are there.
set -euo pipefail

if [ -e /handout/README.txt ]; then
  echo 'setup: the cluster has its keys already'
  exit 0
fi
# A run that was cut off leaves keys that nobody uses yet.
find /handout -mindepth 1 -delete
aimslogd init --origin "$AIMSLOG_ORIGIN" --operators "$AIMSLOG_OPERATORS" --dir /handout/new \
  --node n1=node1:7001 --node n2=node2:7001 --node n3=node3:7001
for node in n1 n2 n3; do
  find "/nodes/$node" -mindepth 1 -delete
  # Data and guard lie on volumes of their own, as they should on a real machine.
  sed -i -e 's|^data_dir = .*|data_dir = "/var/lib/aimslog"|' \
         -e 's|^guard_dir = .*|guard_dir = "/var/lib/aimslog-guard"|' "/handout/new/$node/aimslogd.toml"
  cp -a "/handout/new/$node/." "/nodes/$node/"
  rm -rf "/handout/new/$node"
  chown -R 10001:10001 "/nodes/$node"
done
mv /handout/new/README.txt /handout/README.new
mv /handout/new/* /handout/
rmdir /handout/new
chown -R 10001:10001 /handout
# Last, so that its presence means that all of this is done.
mv /handout/README.new /handout/README.txt
