"""A shop that lets people sign up, and tells the rest of the world through the outbox of its database."""
