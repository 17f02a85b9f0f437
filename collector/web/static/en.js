// English, and the keys of all languages. How catalogues are read, i18n.js tells.
export default `
skip Skip to content
close Close
cancel Cancel
save Save
saved Saved
copy Copy
copied Copied
more Load more
loading Loading…
viewAll View all
all All
today Today
name Name
when When
old Old
new New

somebody somebody
something something
aDevice a device
nothing nothing
on on
off off

live Live
lost The connection is lost. What happens now will be shown when it is back.
failed That did not work: {why}
notFound There is no such page.
mustLogin This needs a key: log in.
producerOnly This key may only send events, not read them.
login Log in
logout Log out
loginHint Make one on this machine:
loginFailed This key is not known.
shortcuts Keyboard

search Search
searchHint Words in actions, people, objects, messages…
remove Remove {name}
clearFilters Clear all
otherValue Another value
errors Errors
saveView Save view
histogram Entries over time
anyTime Choose times…
newEntries {n} new {entry|entries}
entries {n} {entry|entries}
entriesKept Entries
emptyFeed Nothing matches
emptyJournal Nothing has happened yet
emptyJournalHint Send a first event from a terminal on this machine:
feedEnd This is where the log begins.
cameLate recorded later
foldFlap  changed its state {n} {time|times}
foldFound {n} {device was|devices were} found at the start
details Details
who Producer
effects Led to
metadata Metadata
raw Raw JSON
entryGone This entry is not in the journal; it may have been pruned.

attention Needs attention
calm Nothing needs your attention.
calmHint {n} {device is known and answers.|devices are known; all that were checked answer.}
recent Recent activity
errorsToday {n} {error|errors} today
failuresToday {n} failed or denied today
notRecording Events are not being recorded

noDevices No devices yet
noDevicesText Devices that announce themselves on the network appear here by themselves. Add others to the configuration:
findDevice Find a device
addresses Addresses
types Services
firstSeen First seen
lastSeen Last seen
uptime Uptime
timeline State over time
properties Properties
check Check
reason Reason
advertised Advertised as
absent Gone from the network
rename Rename
ignore Ignore
attend Watch again
endMaintenance End maintenance

fieldName Field
kind Kind
noChangesText Changes appear here when an event of this type carries a record.
noResourcesText Add a resource to the configuration, and every version of its objects is kept:

retention Retention
retentionHint How long entries are kept. 0 means no limit.
enabled Remove old entries
maxDays Days
maxBytes Size (MiB)
wouldRemove Saving this removes {n} {entry|entries} now.
overridden Set here; it overrides the configuration file.
useFile Back to the file

storage Storage
used In use
growth Entries a day, 30 days
grows About {size} a day
removed Removed
journal Journal
keys Keys
noKeys There are no keys.
roleName Role
addKey Add key
keyOnce This key is shown once. Copy it now.
revoke Revoke

exportTitle Export
clearTitle Clear the journal
clearHint Removes every entry for good. One entry remains that says who did it.
clearType Type {word} to confirm
clearWord clear
clearDo Remove every entry
cleared {n} {entry|entries} removed

appearance Appearance
language Language
theme Theme
done {who} {past} {what}
passive {what} was {past}
denied {who} was not allowed to {base} {what}
failedTo {who} failed to {base} {what}
unsure  (outcome unknown)
needs  (needs {role})
invalid  (invalid: {fields})
wasDenied  was denied
hasFailed  failed
[tab]
dashboard Dashboard
activity Activity
devices Devices
changes Changes
settings Settings
[removal]
age Age
entries Number
bytes Size
full Full disk
cleared Cleared
request Request
before_ledger Earlier
[category]
entity Entity
auth Sign-in
device Device
capture Capture
system System
[outcome]
success Success
failure Failed
denied Denied
unknown Unknown
[severity]
info Info
warning Warning
error Error
[state]
online Online
offline Offline
suspect Not answering
unknown Unknown
flapping Flapping
maintenance Maintenance
ignored Ignored
unobservable Not observable
[source]
unix Socket
http HTTP
queue Plugin
mdns Network discovery
health Health check
collector Collector itself
nats NATS
config Configuration
[role]
admin Admin
viewer Viewer
producer Producer
[change_type]
create Created
update Changed
delete Deleted
[assurance]
peercred The kernel attests who sent it
key Sent with an API key
internal The daemon itself
asserted Only claimed by the sender
[field]
category Category
outcome Outcome
severity Severity
action Action
actor Actor
object_type Object type
object_id Object
source Source
channel Channel
mode Mode
target Target
tenant_id Tenant
org_id Organisation
correlation_id Correlation
since From
until Until
recorded_at Recorded
on_behalf_of On behalf of
ip IP address
causation_id Caused by
state State
user User
comm Program
unit Unit
user_unit Unit of the user
key Key
[theme]
system As the system
light Light
dark Dark
[press]
j Next entry
k Previous entry
Enter Open it
? This help
[own]
auth.denied {who} was denied {what}
clock.stepped The clock jumped by {seconds} s
collector.started The collector started
collector.started/first The collector started for the first time
collector.started/unclean The collector started after it had been cut off; nothing was recorded since {from}
collector.stopping The collector is stopping
config.rejected The changed configuration was refused, the old one stays in force: {error}
config.reloaded The configuration was reloaded
device.discovered {device} appeared
device.discovered/returned {device} came back
device.flapping {device} keeps going online and offline
device.health_changed {device} changed its state to {state}
device.health_changed/offline {device} went offline
device.health_changed/failed {device} went offline after {n} failed {check|checks}
device.health_changed/suspect {device} stopped answering
device.health_changed/online {device} is online
device.health_changed/back {device} is online again
device.lost {device} went away
device.lost/goodbye {device} went away (it said goodbye)
device.lost/silent {device} went away (not heard since the start)
device.lost/expired {device} went away (not heard any more)
device.restarted {device} restarted
device.updated {device} changed{fields}
events.cleared {who} cleared the journal: {count} removed
events.exported {who} exported {count}
events.lost {count} lost before being recorded{why}
events.pruned {count} pruned by retention
journal.held {reader} keeps reading an old state of the journal
journal.released The old state of the journal is no longer read
key.created {who} created the key {key}
key.revoked {who} revoked the key {key}
network.restored The network can be observed again
network.unobservable The network cannot be observed: too many devices failed at once
settings.updated {who} changed {what}
storage.full The disk is full
storage.quarantined The journal was damaged and set aside; a new one was begun
storage.recovered There is room on the disk again
storage.restored A backup was put in the journal's place
[verb]
added add|to
approved approve
cancelled cancel
changed change
cleared clear
closed close
completed complete
connected connect|to
created create
deleted delete|from
disabled disable
disconnected disconnect|from
downloaded download|from
enabled enable
exported export|to
granted grant|to
imported import|from
installed install|on
locked lock
moved move|to
opened open
published publish|to
received receive|from
rejected reject
removed remove|from
renamed rename|to
reset reset
restarted restart|on
restored restore|from
revoked revoke|from
saved save|to
sent send|to
set set
shared share|with
started start|on
stopped stop|on
unlocked unlock
uploaded upload|to
used use|on
verified verify|with
[alone]
login {who} logged in|{who} was not allowed to log in|{who} failed to log in
logout {who} logged out|{who} was not allowed to log out|{who} failed to log out
[end]
crashed {what} crashed
expired {what} expired
failed {what} failed
finished {what} finished
succeeded {what} succeeded
timed_out {what} timed out
`
