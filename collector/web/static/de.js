// Deutsch: en.js line by line.
export default `
Zum Inhalt
Schließen
Abbrechen
Speichern
Gespeichert
Kopieren
Kopiert
Mehr laden
Lädt…
Alle ansehen
Alle
Heute
Name
Wann
Alt
Neu

jemand
etwas
ein Gerät
nichts
an
aus

Live
Die Verbindung ist unterbrochen. Was jetzt geschieht, erscheint, sobald sie wieder steht.
Das ging nicht: {why}
Diese Seite gibt es nicht.
Das braucht einen Schlüssel: Melden Sie sich an.
Dieser Schlüssel darf nur senden, nicht lesen.
Anmelden
Abmelden
Einen anlegen, auf diesem Rechner:
Dieser Schlüssel ist nicht bekannt.
Tastatur

Suchen
Wörter in Aktionen, Personen, Objekten, Nachrichten…
{name} entfernen
Alle entfernen
Anderer Wert
Fehler
Ansicht speichern
Einträge im Lauf der Zeit
Zeiten wählen…
{n} {neuer Eintrag|neue Einträge}
{n} {Eintrag|Einträge}
Einträge
Nichts passt
Noch ist nichts geschehen
Senden Sie ein erstes Ereignis, in einem Terminal auf diesem Rechner:
Hier beginnt das Protokoll.
später aufgezeichnet
 wechselte {n}-mal den Zustand
Zu Beginn gefunden: {n} {Gerät|Geräte}
Einzelheiten
Absender
Löste aus
Metadaten
JSON im Original
Diesen Eintrag gibt es im Journal nicht; vielleicht wurde er ausgedünnt.

Braucht Aufmerksamkeit
Nichts braucht Ihre Aufmerksamkeit.
{n} {Gerät ist bekannt und antwortet.|Geräte sind bekannt; alle geprüften antworten.}
Letzte Aktivität
{n} Fehler heute
{n} heute fehlgeschlagen oder verweigert
Es wird nichts aufgezeichnet

Noch keine Geräte
Geräte, die sich im Netz melden, erscheinen hier von selbst. Andere kommen in die Konfiguration:
Gerät suchen
Adressen
Dienste
Zuerst gesehen
Zuletzt gesehen
Verfügbar
Zustand im Lauf der Zeit
Eigenschaften
Prüfung
Grund
Meldet sich als
Nicht mehr im Netz
Umbenennen
Ignorieren
Wieder beobachten
Wartung beenden

Feld
Art
Änderungen erscheinen hier, wenn ein Ereignis dieser Art einen „record“ mitbringt.
Tragen Sie eine Ressource in die Konfiguration ein; jede Fassung ihrer Objekte bleibt erhalten:

Aufbewahrung
Wie lange Einträge bleiben. 0 heißt ohne Grenze.
Alte Einträge entfernen
Tage
Größe (MiB)
Speichern entfernt jetzt {n} {Eintrag.|Einträge.}
Hier gesetzt; gilt vor der Konfigurationsdatei.
Zurück zur Datei

Speicher
Belegt
Einträge je Tag, 30 Tage
Etwa {size} am Tag
Entfernt
Journal
Schlüssel
Es gibt keine Schlüssel.
Rolle
Schlüssel anlegen
Dieser Schlüssel wird nur jetzt gezeigt. Kopieren Sie ihn.
Widerrufen

Export
Journal leeren
Entfernt jeden Eintrag für immer. Einer bleibt und sagt, wer es war.
Zum Bestätigen {word} eingeben
leeren
Alle Einträge entfernen
{n} {Eintrag|Einträge} entfernt

Darstellung
Sprache
Farben
{who} hat {what} {past}
{what} wurde {past}
{what} wurde von {who} nicht {past}
{what} wurde von {who} nicht {past}
 (Ausgang unbekannt)
 (nötig: {role})
 (ungültig: {fields})
 verweigert
 fehlgeschlagen
[tab]
Übersicht
Aktivität
Geräte
Änderungen
Einstellungen
[removal]
Alter
Anzahl
Größe
Platte voll
Geleert
Auftrag
Früher
[category]
Objekt
Anmeldung
Gerät
Aufnahme
System
[outcome]
Erfolg
Fehlgeschlagen
Verweigert
Unbekannt
[severity]
Info
Warnung
Fehler
[state]
Online
Offline
Antwortet nicht
Unbekannt
Wechselhaft
Wartung
Ignoriert
Nicht beobachtbar
[source]
Socket
HTTP
Plugin
Netzwerksuche
Prüfung
Collector selbst
NATS
Konfiguration
[role]
Admin
Leser
Sender
[change_type]
Angelegt
Geändert
Gelöscht
[assurance]
Der Kernel bezeugt den Absender
Mit API-Schlüssel gesendet
Der Dienst selbst
Nur vom Absender behauptet
[field]
Kategorie
Ergebnis
Schwere
Aktion
Akteur
Objektart
Objekt
Quelle
Kanal
Modus
Ziel
Mandant
Organisation
Vorgang
Von
Bis
Aufgezeichnet
Im Namen von
IP-Adresse
Ausgelöst durch
Zustand
Benutzer
Programm
Unit
Unit des Benutzers
Schlüssel
[theme]
Wie das System
Hell
Dunkel
[press]
Nächster Eintrag
Voriger Eintrag
Öffnen
Diese Hilfe
[own]
{who} wurde {what} verweigert
Die Uhr ist um {seconds} s gesprungen
Der Collector ist gestartet
Der Collector ist zum ersten Mal gestartet
Der Collector ist nach einem Abbruch wieder gestartet; seit {from} wurde nichts aufgezeichnet
Der Collector hält an
Die geänderte Konfiguration wurde abgelehnt, die alte gilt weiter: {error}
Die Konfiguration wurde neu geladen
{device} ist neu
{device} ist zurück
{device} geht immer wieder an und aus
{device} wechselte den Zustand zu {state}
{device} ist offline
{device} ist nach {n} fehlgeschlagenen {Prüfung|Prüfungen} offline
{device} antwortet nicht mehr
{device} ist online
{device} ist wieder online
{device} ist fort
{device} ist fort (hat sich verabschiedet)
{device} ist fort (seit dem Start nicht gehört)
{device} ist fort (nicht mehr gehört)
{device} hat neu gestartet
{device} hat sich geändert{fields}
{who} hat das Journal geleert: {count} entfernt
{who} hat exportiert: {count}
Vor der Aufzeichnung verloren: {count}{why}
Ausgedünnt: {count}
{reader} liest noch einen alten Stand des Journals
Der alte Stand des Journals wird nicht mehr gelesen
{who} hat den Schlüssel {key} angelegt
{who} hat den Schlüssel {key} widerrufen
Das Netz ist wieder zu beobachten
Das Netz ist nicht zu beobachten: zu viele Geräte fielen zugleich aus
{who} hat {what} geändert
Der Datenträger ist voll
Das Journal war beschädigt und wurde beiseitegelegt; ein neues hat begonnen
Auf dem Datenträger ist wieder Platz
Eine Sicherung nimmt nun den Platz des Journals ein
[verb]
hinzugefügt
genehmigt
abgebrochen
geändert
geleert
geschlossen
abgeschlossen
verbunden
angelegt
gelöscht
abgeschaltet
getrennt
heruntergeladen
eingeschaltet
exportiert
gewährt
importiert
installiert
gesperrt
verschoben
geöffnet
veröffentlicht
empfangen
abgelehnt
entfernt
umbenannt
zurückgesetzt
neu gestartet
wiederhergestellt
widerrufen
gespeichert
gesendet
gesetzt
geteilt
gestartet
angehalten
entsperrt
hochgeladen
benutzt
geprüft
[alone]
{who} hat sich angemeldet|{who} durfte sich nicht anmelden|{who} konnte sich nicht anmelden
{who} hat sich abgemeldet|{who} durfte sich nicht abmelden|{who} konnte sich nicht abmelden
[end]
{what} ist abgestürzt
{what} ist abgelaufen
{what} ist fehlgeschlagen
{what} ist fertig
{what} ist gelungen
{what} hat zu lange gedauert
`
