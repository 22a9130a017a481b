#!/bin/sh
set -e
mkdir -p /srv/site/pages
cp /srv/greeting /srv/site/index.txt
echo more >/srv/site/pages/more.txt
