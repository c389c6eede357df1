"""Floor 5: records what health reports, opens incidents and sends alerts."""
