module seatrial.dev/recipes/gateway-api-crds

go 1.25.0
