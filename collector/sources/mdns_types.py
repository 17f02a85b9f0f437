"""Service types that are asked for without waiting to hear of them."""

from __future__ import annotations

from typing import Final

COMMON_TYPES: Final = tuple(
    f"_{name}.local."
    for name in (
        "http._tcp", "https._tcp", "ssh._tcp", "sftp-ssh._tcp", "smb._tcp", "afpovertcp._tcp",
        "nfs._tcp", "ftp._tcp", "webdav._tcp", "workstation._tcp", "device-info._tcp",
        "adisk._tcp", "rfb._tcp", "ipp._tcp", "ipps._tcp", "printer._tcp",
        "pdl-datastream._tcp", "scanner._tcp", "uscan._tcp", "uscans._tcp", "airplay._tcp",
        "raop._tcp", "companion-link._tcp", "googlecast._tcp", "googlezone._tcp",
        "androidtvremote2._tcp", "spotify-connect._tcp", "sonos._tcp", "soundtouch._tcp",
        "hap._tcp", "hap._udp", "homekit._tcp", "matter._tcp", "matterc._udp", "matterd._udp",
        "meshcop._udp", "trel._udp", "hue._tcp", "esphomelib._tcp", "shelly._tcp", "arduino._tcp",
        "miio._udp", "leap._tcp", "elg._tcp", "nanoleafapi._tcp", "wled._tcp", "axis-video._tcp",
        "amzn-wplay._tcp", "home-assistant._tcp", "mqtt._tcp", "plexmediasvr._tcp", "octoprint._tcp",
        "nut._tcp", "sleep-proxy._udp", "daap._tcp", "dacp._tcp", "touch-able._tcp",
        "coap._udp", "ntp._udp", "syslog._udp", "zigstar_gw._tcp", "apple-mobdev2._tcp",
    )
)  # fmt: skip
"""What homes, offices and labs advertise; sources: IANA's registry, Home Assistant's zeroconf list."""
