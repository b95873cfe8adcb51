module seatrial.dev/recipes/contour-crds

go 1.25.0
