#!/bin/sh
echo "hello from $POLDER_VM at $POLDER_IP_ON_LAN" | tee /var/log/greeting
