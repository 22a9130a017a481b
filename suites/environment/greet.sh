#!/bin/sh
mkdir -p /srv
echo "hello from $POLDER_VM at $POLDER_IP_ON_LAN" | tee /srv/greeting
