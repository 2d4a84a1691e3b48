"""What every part needs: settings and logs. Imports nothing of ours."""
