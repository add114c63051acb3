"""From bytes on the wire to durable readings: formats → validate → store → publish."""
