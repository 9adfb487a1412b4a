"""The microservice chassis: what every part is bolted to. It knows no domain."""
