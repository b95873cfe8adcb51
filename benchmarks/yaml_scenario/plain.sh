#!/bin/sh
# The YAML scenario by bare commands. Needs KIND, KUBECTL, BASE_IMAGE, NODE_IMAGE and CLUSTER.
set -eu
image=example/test-ml-score-api:dev
export KUBECONFIG="$PWD/kubeconfig"

docker build --build-arg "BASE_IMAGE=$BASE_IMAGE" --tag "$image" app
"$KIND" get clusters | grep -qx "$CLUSTER" ||
    "$KIND" create cluster --name "$CLUSTER" --image "$NODE_IMAGE" --wait 120s
"$KIND" load docker-image --name "$CLUSTER" "$image"

"$KUBECTL" apply -f score.yaml
trap '"$KUBECTL" delete -f score.yaml' EXIT
"$KUBECTL" rollout status deployment/test-ml-score-api -n test-ml-app --timeout=120s
"$KUBECTL" port-forward service/test-ml-score-lb -n test-ml-app 15000:5000 &
trap 'kill $!; "$KUBECTL" delete -f score.yaml' EXIT
answer=$(curl --silent --fail --max-time 10 --retry 50 --retry-connrefused --retry-delay 1 \
    --header 'Content-Type: application/json' --data '{"X": [1, 2]}' http://127.0.0.1:15000/score)
touch answered # timed
test "$(echo "$answer" | tr -d ' \n')" = '{"score":[1,2]}'
