INSERT INTO sources VALUES ($version, $tracked::VARCHAR[]);
