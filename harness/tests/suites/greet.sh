#!/bin/sh
echo deployed on $POLDER_VM
