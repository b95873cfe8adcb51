module seatrial.dev/recipes/kubernetes-schema-1.34

go 1.25.0
