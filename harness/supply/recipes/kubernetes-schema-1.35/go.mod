module seatrial.dev/recipes/kubernetes-schema-1.35

go 1.25.0
