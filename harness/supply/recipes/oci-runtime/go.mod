module seatrial.local/oci-runtime

go 1.21
