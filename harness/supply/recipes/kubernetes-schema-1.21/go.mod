module seatrial.dev/recipes/kubernetes-schema-1.21

go 1.25.0
