#!/bin/sh
# Makes the certificates of the TLS tests: a CA, a server and a client that it signed, a CA that
# signed nobody. The keys protect nothing. Run from this folder; needs openssl 3.
set -eu
days=36500
ca() {
  openssl req -x509 -newkey rsa:2048 -nodes -days $days -subj "/CN=$2" -keyout "$1.key" -out "$1.pem" \
    -addext "basicConstraints=critical,CA:TRUE" -addext "keyUsage=critical,keyCertSign,cRLSign"
}
signed() {
  openssl req -newkey rsa:2048 -nodes -subj "/CN=$2" -keyout "$1.key" -out "$1.csr"
  printf '%s\n' "$3" "basicConstraints=CA:FALSE" "keyUsage=digitalSignature,keyEncipherment" \
    "subjectKeyIdentifier=hash" "authorityKeyIdentifier=keyid" > "$1.ext"
  openssl x509 -req -in "$1.csr" -CA ca.pem -CAkey ca.key -CAcreateserial -days $days \
    -extfile "$1.ext" -out "$1.pem"
  rm "$1.csr" "$1.ext"
}
ca ca "Streamgauge test CA"
ca other-ca "Streamgauge other test CA"
signed server localhost "subjectAltName=DNS:localhost,IP:127.0.0.1"
signed client streamgauge "extendedKeyUsage=clientAuth"
openssl rsa -aes256 -passout pass:secret -in client.key -out client-encrypted.key
rm ca.key other-ca.key ca.srl
