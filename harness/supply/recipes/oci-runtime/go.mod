module seatrial.dev/recipes/oci-runtime

go 1.21
