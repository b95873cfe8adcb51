module seatrial.dev/recipes/kubernetes-schema-1.33

go 1.25.0
