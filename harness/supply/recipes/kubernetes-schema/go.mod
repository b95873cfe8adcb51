module seatrial.dev/recipes/kubernetes-schema

go 1.25.0
